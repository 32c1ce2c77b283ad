//go:build lab

package standin_test

import "testing"

func TestS3_Takes200MBInParts(t *testing.T) { multipart(newBucket(t), 50<<20) }
