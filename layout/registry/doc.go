// Package registry reads images from a registry, over the OCI distribution API.
//
// A Store speaks for one repository. It knows the hosts to ask (mirrors from
// containerd's hosts.toml in their order, then the registry itself) and asks
// them in few requests: a tag is resolved by fetching its manifest, there is no
// ping, and nothing is said about credentials until a host asks for them.
//
// A blob is read by ranges, exactly as long as they are wanted. Much can go
// wrong with a range: the answer may be the whole blob, another range, or
// compressed on the way; the connection may stop or hang; the signed URL behind
// a redirect may be too old. A stream over a range therefore checks what each
// answer says it is, and asks again from the first byte that it does not have,
// of another host where there is one, until the range is complete or no byte
// has come for a stated time (Options.Deadline). A caller sees right lengths
// and an error, or nothing of all this.
//
// What a blob's bytes are is not checked here: a range has no digest. Documents
// are checked, so that a mirror can hold an image back, but not change it.
//
// Secrets stay where they belong: Authorization goes to the very host (scheme,
// name, port) that asked for it, never along a redirect; errors and logs carry
// no query of a URL and no token.
package registry
