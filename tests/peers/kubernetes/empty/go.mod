module holdfast/tests/peers/kubernetes/empty

go 1.26.0
