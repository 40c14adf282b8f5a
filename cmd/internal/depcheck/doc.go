// Package depcheck holds a test and no code: it reads the imports of every package of the
// module and keeps them to the chain
//
//	cmd -> fs/fusefs -> fs -> index -> lazy -> layout
//
// in which nothing imports to its left, directly or through others.
package depcheck
