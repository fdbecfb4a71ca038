# vim
