return { "telescope" }
