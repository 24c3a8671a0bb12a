package health

// Watch sends to c after each change of the view or the settings, without blocking: c should have room for one. Whoever
// receives reads View, which may have moved on since: changes coalesce. stop ends it.
func (s *Set) Watch(c chan<- struct{}) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers == nil {
		s.watchers = map[chan<- struct{}]struct{}{}
	}
	s.watchers[c] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, c)
	}
}

// notify tells the watchers that something was published. Under mu: it blocks on nobody.
func (s *Set) notify() {
	for c := range s.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
