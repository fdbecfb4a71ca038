return { "oil" }
