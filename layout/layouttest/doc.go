// Package layouttest helps tests of everything that reads images: a Store in memory
// that counts what is asked of it, builders for tars and images, and the conformance suites
// that every implementation of layout.Store and layout.Blob passes.
//
// It is imported by tests only.
package layouttest
