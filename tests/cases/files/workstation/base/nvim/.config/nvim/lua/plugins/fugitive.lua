return { "fugitive" }
