return { "which-key" }
