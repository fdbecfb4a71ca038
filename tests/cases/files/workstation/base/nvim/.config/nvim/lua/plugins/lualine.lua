return { "lualine" }
