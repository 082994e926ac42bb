//go:build tools

// Package etcd37 pins the etcd 3.7 programs that the cluster suite runs. The
// blank imports of main packages keep go.mod and go.sum complete for them;
// the build tag keeps the compiler away from this file.
package etcd37

import (
	_ "go.etcd.io/bbolt/cmd/bbolt"
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/etcdutl/v3"
	_ "go.etcd.io/etcd/server/v3"
)
