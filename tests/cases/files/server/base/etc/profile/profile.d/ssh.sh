# ssh
