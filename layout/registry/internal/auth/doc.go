// Package auth answers the challenges of a registry.
//
// A registry that wants to know who asks answers 401 with one or more
// challenges. For Basic the client sends a user name and a password with each
// request. For Bearer it takes them to a token server (the realm), gets a token
// for a scope such as "repository:library/alpine:pull", and sends that instead;
// a token lives for a minute or a few, so a long mount needs many.
//
// Config finds credentials where docker and the containers tools keep them. An
// Authorizer belongs to one registry host: it learns from that host's
// challenges, keeps a token per scope, renews it before it ends, and asks once
// for all who wait. It never gives its header to anyone else: the caller asks
// for a header only for requests to that host.
package auth
