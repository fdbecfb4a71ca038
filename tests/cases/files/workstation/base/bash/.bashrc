for file in "$HOME"/.bashrc.d/*.sh; do . "$file"; done
