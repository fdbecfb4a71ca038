return { "neotest" }
