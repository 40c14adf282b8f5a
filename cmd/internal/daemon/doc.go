// Package daemon puts a mount into the background. The program starts itself
// again in a session of its own and waits until the child says, over a pipe,
// that the mount answers, or why it does not. So the command that the user typed
// returns exactly when the tree can be used, with the right exit code.
package daemon
