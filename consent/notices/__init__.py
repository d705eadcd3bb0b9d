"""Who is told what by e-mail: the catalogue of notices, who has switched which off, and the one place that sends."""
