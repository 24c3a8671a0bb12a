// Package archtest holds the architecture by tests: the one direction in which packages import each other, which of them
// may import a heavy library, and what a program that imports onehop pays for it. It has no code of its own.
package archtest
