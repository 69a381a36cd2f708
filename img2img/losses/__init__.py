"""Floor 0: what generators and discriminators are trained with."""
