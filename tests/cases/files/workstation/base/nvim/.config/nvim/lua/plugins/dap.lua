return { "dap" }
