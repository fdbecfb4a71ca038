vim.opt.tabstop = 2
