return { "treesitter" }
