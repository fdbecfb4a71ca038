vim.opt.tabstop = 4
