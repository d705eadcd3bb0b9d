"""What all interfaces show alike: settings, sentences, events, names of actors and targets, charts."""
