for file in "$HOME"/.config/zsh/*.zsh; do . "$file"; done
