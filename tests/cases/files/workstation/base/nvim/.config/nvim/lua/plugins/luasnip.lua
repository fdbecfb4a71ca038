return { "luasnip" }
