// Package registrytest is what tests and benchmarks of registry clients need:
// real registries on loopback (Start), and a proxy in front of one that
// misbehaves on purpose (Proxy): it breaks the answers that rules choose, asks
// for tokens that end early, sends blobs by signed URLs on another port that
// expire, and is as slow as it is told.
package registrytest
