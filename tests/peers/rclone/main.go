// rclone with S3 and nothing else: the uploader that the benchmark's opponent ends in.
package main

import (
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/rcat"
)

func main() { cmd.Main() }
