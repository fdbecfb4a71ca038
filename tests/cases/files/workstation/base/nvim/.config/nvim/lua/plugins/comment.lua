return { "comment" }
