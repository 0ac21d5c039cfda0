"""Linear forecasts with fewer, or other, weights than `heads.Autoregression`."""
