"""What the stage `rollout` is made of: starts, the way to them, members, what is kept, scores by lead."""
