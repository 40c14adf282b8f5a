package layout

import "context"

type freshKey struct{}

// WithFreshConnection asks a Blob to use, for the request made with this context,
// another connection than before, and another mirror where it has several: what came
// the last time was damaged.
func WithFreshConnection(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshKey{}, true)
}

// IsFreshConnection says whether a request's context asks for a fresh connection.
func IsFreshConnection(ctx context.Context) bool { return ctx.Value(freshKey{}) != nil }
