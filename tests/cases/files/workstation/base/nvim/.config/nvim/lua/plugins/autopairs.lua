return { "autopairs" }
