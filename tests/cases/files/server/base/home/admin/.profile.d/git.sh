# git
