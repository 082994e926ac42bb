//go:build tools

// Package helm pins the program of that name for the cluster suite. The blank
// import of its main package keeps go.mod and go.sum complete; the build tag
// keeps the compiler away from this file.
package helm

import _ "helm.sh/helm/v4/cmd/helm"
