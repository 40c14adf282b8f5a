package lazy

import "errors"

// ErrCorrupt: bytes are not what the layer index says, or the index itself is damaged.
var ErrCorrupt = errors.New("corrupt")
