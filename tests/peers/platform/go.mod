module holdfast/tests/peers/platform

go 1.26.0
