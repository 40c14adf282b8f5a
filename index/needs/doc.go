// Package needs tells of a file which other files will be read when it is: of a program or library
// what its dynamic linker asks for (package dynlink), of a Python module what it imports (package
// pyimport). Append and Decode are the form in which a layer index keeps this, so that who mounts
// an image knows it of all files before he has read any.
//
// What is told are guesses: good enough to fetch something early, and for nothing else.
package needs
