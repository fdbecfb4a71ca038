# kubectl
