package zstdx

import (
	"errors"

	"github.com/shalefs/shalefs/index/codec"
)

func isTooLarge(err error) bool { return errors.Is(err, codec.ErrTooLarge) }

// lenient names the streams that one decoder takes and the other does not.
func lenient(err, stockErr error) bool {
	return false
}
