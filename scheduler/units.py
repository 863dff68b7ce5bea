"""Every conversion factor of the project; no other module may spell 1000 or 3600.

Inside, power is kW, energy kWh, GPU limits W, money EUR, prices EUR/kWh and time seconds. Markets quote EUR/MWh,
NVML speaks milliwatt and millijoule, plants speak MW: those borders convert here.
"""

from __future__ import annotations

W_PER_KW = 1000.0
KWH_PER_MWH = 1000.0
G_PER_KG = 1000.0
KG_PER_TONNE = 1000.0
MILLI_PER_UNIT = 1000.0
NS_PER_S = 1e9
S_PER_MIN = 60.0
MIN_PER_H = 60.0
S_PER_H = 3600.0
H_PER_DAY = 24.0
S_PER_DAY = 86400.0
KELVIN_OFFSET_C = 273.15
K_PER_DEGREE_FAHRENHEIT = 5.0 / 9.0
FREEZING_FAHRENHEIT = 32.0
CENTS_PER_UNIT = 100.0
KG_PER_POUND = 0.45359237
KJ_PER_KWH = 3600.0
J_PER_KJ = 1000.0
WH_PER_KWH = 1000
S_PER_WHOLE_H = 3600
MICRO_PER_UNIT = 1_000_000
US_PER_S = 1_000_000


def kw_from_w(power_w: float) -> float:
    """Return kW from W."""
    return power_w / W_PER_KW


def w_from_kw(power_kw: float) -> float:
    """Return W from kW."""
    return power_kw * W_PER_KW


def h_from_s(duration_s: float) -> float:
    """Return hours from seconds."""
    return duration_s / S_PER_H


def s_from_h(duration_h: float) -> float:
    """Return seconds from hours."""
    return duration_h * S_PER_H


def kwh_from_kw_s(power_kw: float, duration_s: float) -> float:
    """Return kWh of a power in kW held for a duration in seconds."""
    return power_kw * duration_s / S_PER_H


def eur_per_kwh_from_eur_per_mwh(price_eur_per_mwh: float) -> float:
    """Return EUR/kWh from the market's EUR/MWh."""
    return price_eur_per_mwh / KWH_PER_MWH


def eur_per_mwh_from_eur_per_kwh(price_eur_per_kwh: float) -> float:
    """Return the market's EUR/MWh from EUR/kWh."""
    return price_eur_per_kwh * KWH_PER_MWH


def eur_per_kwh_from_carbon(intensity_g_per_kwh: float, price_eur_per_tonne: float) -> float:
    """Return the carbon cost of one kWh in EUR, from g CO2/kWh and EUR/t CO2."""
    return intensity_g_per_kwh / (G_PER_KG * KG_PER_TONNE) * price_eur_per_tonne


def kg_from_g(mass_g: float) -> float:
    """Return kg from g."""
    return mass_g / G_PER_KG


def kelvin_from_c(temperature_c: float) -> float:
    """Return K from degrees Celsius."""
    return temperature_c + KELVIN_OFFSET_C


def w_from_milliwatt(power_milliwatt: float) -> float:
    """Return W from NVML's milliwatt."""
    return power_milliwatt / MILLI_PER_UNIT


def milliwatt_from_w(power_w: float) -> int:
    """Return NVML's whole milliwatt from W."""
    return round(power_w * MILLI_PER_UNIT)


def j_from_millijoule(energy_millijoule: float) -> float:
    """Return J from millijoule, NVML's unit."""
    return energy_millijoule / MILLI_PER_UNIT


def s_from_ns(duration_ns: float) -> float:
    """Return s from nanoseconds, NVML's unit of throttled time."""
    return duration_ns / NS_PER_S


def j_from_microjoule(energy_microjoule: float) -> float:
    """Return J from microjoule, the unit of Linux's powercap."""
    return energy_microjoule / MILLI_PER_UNIT / MILLI_PER_UNIT


def kwh_from_millijoule(energy_millijoule: float) -> float:
    """Return kWh from NVML's millijoule."""
    return energy_millijoule / MILLI_PER_UNIT / W_PER_KW / S_PER_H


def j_from_kwh(energy_kwh: float) -> float:
    """Return J from kWh."""
    return energy_kwh * W_PER_KW * S_PER_H


def eur_per_j_from_eur_per_kwh(price_eur_per_kwh: float) -> float:
    """Return EUR/J from EUR/kWh."""
    return price_eur_per_kwh / (W_PER_KW * S_PER_H)
