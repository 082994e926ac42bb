//go:build tools

// Package kubernetes pins the control plane that the cluster suite runs. The
// blank imports of main packages keep go.mod and go.sum complete for them;
// the build tag keeps the compiler away from this file.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
