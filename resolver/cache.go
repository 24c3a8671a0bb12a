package resolver

// DiskCache is r, with the last good of each Target kept in dir (0600) and served until r first publishes.
func DiskCache(Resolver, string) Resolver { panic("todo") }
