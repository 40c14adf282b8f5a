package layout

import "errors"

var (
	// ErrNotFound: the reference, manifest or blob is not in the store.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous: the reference stands for more than one manifest.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrUnavailable: the store could not be reached, or did not answer as it must, after the retries.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnauthorized: the store refused the credentials, or there were none.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrDigest: bytes do not have the digest or the size that names them.
	ErrDigest = errors.New("digest mismatch")
	// ErrChanged: a blob is no longer what it was when it was opened.
	ErrChanged = errors.New("blob changed")
	// ErrTooLarge: a document is over its limit (ERR-6).
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported: a part of the image is of a kind we refuse by name (D9).
	ErrUnsupported = errors.New("unsupported")
	// ErrInvalid: a document or reference breaks its specification.
	ErrInvalid = errors.New("invalid")
)
