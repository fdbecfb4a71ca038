return { "cmp" }
