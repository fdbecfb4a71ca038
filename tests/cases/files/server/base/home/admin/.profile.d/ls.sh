# ls
