return { "mason" }
