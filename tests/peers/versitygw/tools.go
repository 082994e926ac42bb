//go:build tools

// Package versitygw pins the S3 server of that name for the cluster suite. The
// blank import of its main package keeps go.mod and go.sum complete; the build
// tag keeps the compiler away from this file.
package versitygw

import _ "github.com/versity/versitygw/cmd/versitygw"
