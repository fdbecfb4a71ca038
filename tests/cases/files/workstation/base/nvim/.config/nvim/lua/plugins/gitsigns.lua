return { "gitsigns" }
