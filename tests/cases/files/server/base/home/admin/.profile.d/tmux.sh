# tmux
