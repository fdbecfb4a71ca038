EDITOR=nvim
