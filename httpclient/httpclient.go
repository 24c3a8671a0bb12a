// Package httpclient calls services through net/http.
package httpclient
